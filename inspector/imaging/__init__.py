"""Image files: from bytes to grey frames.

``source`` takes a file: an open descriptor, its bytes and its stamp. ``file_formats`` checks what the file is
and whether it is complete. ``decoder`` turns bytes into a grey uint8 frame, for inspection and for training
alike. ``jpeg``, ``tiff``, ``png`` and ``bmp`` check what Pillow does not: which layouts are read, and where
the picture ends. ``jpeg_pixels`` and ``tiff_blocks`` find damage that libjpeg and libtiff pass over.
``flaws`` finds frames that show no weld. ``fitting`` gives frames the size at which people see them. Import
the modules: the decoder loads Pillow.
"""
