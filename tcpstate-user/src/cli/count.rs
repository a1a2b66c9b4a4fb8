//! `tcpstate count`: command line.
