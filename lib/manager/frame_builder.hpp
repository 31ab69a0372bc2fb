// Frames written where they will be sent from.
#pragma once

#include <cstring>
#include <exception>

#include "brood/arena/codec.hpp"
#include "channel/framing.hpp"

namespace brood::remote {

/// The frame began at `start` with room for its header, and ends here.
inline void finish_frame(bytes& out, std::size_t start) noexcept {
  const auto header = detail::frame_header(out.size() - start - detail::frame_header_size);
  std::memcpy(out.data() + start, header.data(), header.size());
}

/// Appends one frame for its lifetime; none if an exception ends that.
class frame_builder {
 public:
  explicit frame_builder(bytes& out) : out_(out), start_(out.size()) {
    out.resize(start_ + detail::frame_header_size);
  }
  ~frame_builder() {
    if (std::uncaught_exceptions() > exceptions_) {
      out_.resize(start_);
    } else {
      finish_frame(out_, start_);
    }
  }
  frame_builder(const frame_builder&) = delete;
  frame_builder& operator=(const frame_builder&) = delete;

 private:
  bytes& out_;
  std::size_t start_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace brood::remote
