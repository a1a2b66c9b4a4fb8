//! Sockets by state as the kernel counts them now, over `sock_diag` netlink.
