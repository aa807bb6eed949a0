"""Image files: from bytes to grey frames.

``source`` takes a file: an open descriptor, its bytes and its stamp. ``file_formats`` checks what the file is
and whether it is complete. ``decoder`` turns bytes into a grey uint8 frame, for inspection and for training
alike. ``png`` checks what Pillow does not. ``flaws`` finds frames that show no weld. Import the modules: the
decoder loads Pillow.
"""
