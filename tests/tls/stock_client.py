"""What a stock peer speaks, as a client: TLS 1.2 with AES128-SHA only, nobody verified."""

import socket
import ssl
import sys

host, port, ciphers, certificate, key, request = sys.argv[1:7]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
context.set_ciphers(ciphers)
if certificate:
    context.load_cert_chain(certificate, key)
with context.wrap_socket(socket.create_connection((host, int(port)), 30)) as connection:
    name, version, _ = connection.cipher()
    print(connection.version(), name, flush=True)
    connection.sendall(request.encode().decode("unicode_escape").encode())
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
        if b"\r\n\r\n" in answer and answer.startswith(b"HTTP/1.1 202"):
            break
    print(answer.decode(errors="replace"))
