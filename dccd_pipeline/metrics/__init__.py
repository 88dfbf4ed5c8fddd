"""What a monitor reads: numbers for Prometheus, and whether all is well.

families   from the answer to numbers
server     who asks for them by HTTP
"""
