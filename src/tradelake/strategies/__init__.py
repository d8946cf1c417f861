"""The Strategy API and the library of strategies. Pure; needs no compiler."""
