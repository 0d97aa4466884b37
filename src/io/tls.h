// TLS: the server's end of HTTPS, as a Stream on top of another Stream. OpenSSL does the work; this header hides
// OpenSSL.
//
// Threading: the loop's thread. Other threads do the arithmetic of the handshakes. Ownership: a stream keeps its
// context alive. TLS 1.2 and later; no client certificates.
#pragma once

#include <memory>
#include <string>

#include "io/stream.h"

namespace minerva::io {

class TlsContext {
 public:
  // Reads two PEM files: the certificate with those between it and the root, and the key. Errors: kInvalidArgument with
  // the file and the reason (missing, no certificate, the key of another certificate, a passphrase).
  static Result<std::shared_ptr<TlsContext>> load(const std::string& certificate_file, const std::string& key_file);
  virtual ~TlsContext() = default;
};

// The first read does the handshake, and fails once `deadline` has passed. A client that speaks plain HTTP gets an
// answer that says so. Requires: the first operation is a read.
std::unique_ptr<Stream> accept_tls(Loop& loop, std::unique_ptr<Stream> stream, std::shared_ptr<TlsContext> context,
                                   TimePoint deadline);

}  // namespace minerva::io
