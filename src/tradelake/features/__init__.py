"""One definition per feature, computed in batch over arrays and online in O(1). Pure."""
