"""What the features of the product are made of, each in one place: the composition below `app`."""
