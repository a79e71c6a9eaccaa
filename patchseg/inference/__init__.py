"""One image to its tissues, many images, reports."""
