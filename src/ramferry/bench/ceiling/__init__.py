"""What one relay process can carry at most: a relay between peers that do nothing but write and
read, with codecs that cost nothing or a given time.

``course`` makes one run of it and ``figures`` its row; ``stream`` has the bytes that are sent,
``peer`` the plain writers and readers, ``measured`` the relay's process and ``idle`` its codecs.
"""
