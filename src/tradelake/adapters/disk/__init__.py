"""Adapters of a disk, a task's own or shared over a network."""
