"""Personal data: encrypted, shown to who has the keys, erased."""
