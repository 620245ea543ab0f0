"""What a stock peer speaks, as a server: TLS 1.2 with AES128-SHA only. Prints what it hears."""

import socket
import ssl
import sys

certificate, key, ciphers = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
context.set_ciphers(ciphers)
context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
while True:
    plain, _ = listener.accept()
    try:
        with context.wrap_socket(plain, server_side=True) as connection:
            print("speaks", connection.version(), connection.cipher()[0], flush=True)
            heard = b""
            while b"\r\n" not in heard:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                heard += chunk
            print("heard", heard.split(b"\r\n")[0].decode(), flush=True)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    except OSError as error:
        print("failed", error, flush=True)
