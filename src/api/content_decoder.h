// ContentDecoder: undoes a request's Content-Encoding as the body arrives.
//
// zlib and zstd behind one interface. What comes out of one piece is handed over in small steps, so that its size can
// be counted before more of it is made; and what grows too much altogether is refused. Threading: one thread per
// decoder, any thread. It does not know the limit of a body: who takes the pieces counts them.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "minerva/base/result.h"

namespace minerva::api {

class ContentDecoder {
 public:
  static constexpr std::size_t kMaxStep = std::size_t{64} * 1024;  // bytes that next() returns at most
  // What is decoded may be so many times as large as what came, once it is larger than kFreeBytes. Text and base64
  // shrink to a third or a tenth; zeros to a thousandth.
  static constexpr std::size_t kMaxRatio = 100;
  static constexpr std::size_t kFreeBytes = std::size_t{1} << 20;

  virtual ~ContentDecoder() = default;
  ContentDecoder() = default;
  ContentDecoder(const ContentDecoder&) = delete;
  ContentDecoder& operator=(const ContentDecoder&) = delete;

  // The next piece of the encoded body; it has to stay where it is until next() wants more.
  // Requires: next() has returned nothing, or was not called yet.
  void feed(std::string_view piece);
  // What can be decoded now, valid until the next call; empty when it wants more. Errors: kInvalidArgument (broken),
  // kTooLarge (over the ratio).
  Result<std::string_view> next();
  // The encoded body has ended. Errors: kInvalidArgument when it ends too early.
  Result<void> finish() const;
  // Bytes that it holds.
  virtual std::size_t memory() const = 0;

 protected:
  // Decodes from the front of `input`, of which it removes what it has read, into `output`; returns how much it wrote.
  // Nothing read and nothing written: it is broken.
  virtual Result<std::size_t> decode(std::string_view& input, char* output, std::size_t room) = 0;
  // At the end of the encoded data, or of one of several in a row.
  virtual bool complete() const = 0;

 private:
  std::unique_ptr<char[]> step_;
  std::string_view input_;
  bool step_was_full_ = false;  // there may be more without any input
  std::size_t taken_ = 0;       // bytes that were read
  std::size_t made_ = 0;        // bytes that were written
};

// For the value of a Content-Encoding: gzip (x-gzip), deflate or zstd; nullptr for none and identity.
// Errors: kUnsupportedMedia for others, and for several in a row.
Result<std::unique_ptr<ContentDecoder>> make_decoder(std::string_view content_encoding);

// What make_decoder() takes, as an Accept-Encoding says it.
inline constexpr std::string_view kContentEncodings = "gzip, deflate, zstd";

}  // namespace minerva::api
