// Cuts a call's workspace into its parts. Run on NULL, the same cuts tell how many bytes they need:
//
//   struct Plan { float *partials; int64_t bytes; };
//   Plan plan(int64_t rows, void *scratch) {
//     rhumb::Scratch cut(scratch);
//     float *partials = cut.take<float>(rows);
//     return {partials, cut.bytes()};
//   }
#pragma once

#include <cstdint>

namespace rhumb {

class Scratch {
 public:
  explicit Scratch(void *memory) : memory_(static_cast<unsigned char *>(memory)) {}

  // The next part, 256-byte aligned; NULL while measuring.
  template <class T>
  T *take(int64_t count) {
    T *part = memory_ == nullptr ? nullptr : reinterpret_cast<T *>(memory_ + bytes_);
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return part;
  }

  int64_t bytes() const { return bytes_; }

 private:
  unsigned char *memory_;
  int64_t bytes_ = 0;
};

}  // namespace rhumb
