"""Image files: from bytes to grey frames.

``source`` takes a file: an open descriptor, its bytes and its stamp. ``decoder`` turns bytes into a grey
uint8 frame, for inspection and for training alike. ``png`` checks what Pillow does not.
"""
