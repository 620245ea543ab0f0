//! Ports that a test comes back to.

use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::{Domain, Socket, Type};

/// A port on loopback for a server that is stopped and started again. While it is free, the kernel
/// would give it to whoever asks for any port, or connects from one: it is bound all the time, and
/// never listened on, so that who binds it by number with `SO_REUSEADDR` may.
#[derive(Debug)]
pub struct Port {
    address: SocketAddrV4,
    _bound: Socket,
}

impl Port {
    /// One that nobody has.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        socket.bind(&any.into()).expect("a free port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket_ipv4());
        Self { address: address.expect("an address"), _bound: socket }
    }

    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_reserved_port_is_listened_on_again_and_again() {
        let port = Port::reserve();
        for _ in 0..2 {
            // The standard library sets the option.
            let listener = TcpListener::bind(port.address()).unwrap();
            let client = std::net::TcpStream::connect(port.address()).unwrap();
            drop((listener.accept().unwrap(), client));
        }
    }
}
