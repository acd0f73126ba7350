"""What is done to pictures between a decoder and an encoder; blocking side, libavfilter."""
