"""What the redis and memcached collectors are made of: connections, replies and the families in them."""
