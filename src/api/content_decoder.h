// ContentDecoder: undoes a request's Content-Encoding while the body arrives.
//
// zlib and zstd behind one interface. One piece is decoded in small steps, so that the caller can count the output
// before more of it is made. A body that grows too much in all is refused. Threading: one thread per decoder, any
// thread. It does not know the limit of a body: the caller counts.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "minerva/base/result.h"

namespace minerva::api {

class ContentDecoder {
 public:
  static constexpr std::size_t kMaxStep = std::size_t{64} * 1024;  // the most bytes that next() returns
  // The decoded body may be so many times as large as the encoded one, once it is larger than kFreeBytes. Text and
  // base64 shrink to a third or a tenth; zeros shrink to a thousandth.
  static constexpr std::size_t kMaxRatio = 100;
  static constexpr std::size_t kFreeBytes = std::size_t{1} << 20;

  virtual ~ContentDecoder() = default;
  ContentDecoder() = default;
  ContentDecoder(const ContentDecoder&) = delete;
  ContentDecoder& operator=(const ContentDecoder&) = delete;

  // Gives the decoder the next piece of the encoded body. `piece` must stay valid until next() returns nothing.
  // Requires: next() has returned nothing, or was not called yet.
  void feed(std::string_view piece);
  // The next decoded bytes, valid until the next call. Empty when the decoder needs another piece. Errors:
  // kInvalidArgument (the body is broken), kTooLarge (it grows by more than the ratio).
  Result<std::string_view> next();
  // To be called at the end of the encoded body. Errors: kInvalidArgument when the body ends too early.
  Result<void> finish() const;
  // How many bytes of memory the decoder holds.
  virtual std::size_t memory() const = 0;

 protected:
  // Decodes from the front of `input` into `output`. Removes from `input` what was read; returns how much was written.
  // Nothing read and nothing written means that the data are broken.
  virtual Result<std::size_t> decode(std::string_view& input, char* output, std::size_t room) = 0;
  // Whether the encoded data are complete, or one of several streams in a row is.
  virtual bool complete() const = 0;

 private:
  std::unique_ptr<char[]> step_;
  std::string_view input_;
  bool step_was_full_ = false;  // there may be more output without any input
  std::size_t taken_ = 0;       // bytes that were read so far
  std::size_t made_ = 0;        // bytes that were written so far
};

// The decoder for a Content-Encoding: gzip (x-gzip), deflate or zstd; nullptr for none and for identity.
// Errors: kUnsupportedMedia for other encodings, and for several in a row.
Result<std::unique_ptr<ContentDecoder>> make_decoder(std::string_view content_encoding);

// The encodings that make_decoder() knows, in the form of an Accept-Encoding.
inline constexpr std::string_view kContentEncodings = "gzip, deflate, zstd";

}  // namespace minerva::api
