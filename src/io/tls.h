// TLS: the server's end of HTTPS, as a Stream on top of another one. OpenSSL does it; this hides it.
//
// Threading: the loop's thread; the handshakes' arithmetic is done on the loop's other threads. Ownership: a stream
// keeps its context alive. TLS 1.2 and later; no client certificates.
#pragma once

#include <memory>
#include <string>

#include "io/stream.h"

namespace minerva::io {

class TlsContext {
 public:
  // PEM files: the certificate with those between it and the root, and its key. Errors: kInvalidArgument, saying which
  // file and why (missing, no certificate, a key of another certificate, a passphrase).
  static Result<std::shared_ptr<TlsContext>> load(const std::string& certificate_file, const std::string& key_file);
  virtual ~TlsContext() = default;
};

// The handshake takes place inside the first read, and fails it once `deadline` has passed. A client that speaks plain
// HTTP is told so. Requires: the first operation is a read.
std::unique_ptr<Stream> accept_tls(Loop& loop, std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> context,
                                   TimePoint deadline);

}  // namespace minerva::io
