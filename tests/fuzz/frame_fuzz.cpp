// libFuzzer target: the first byte says how many bytes arrive at a time, the second limits the messages. The rest arrives
// as a stream and is cut into messages, and once more by a plain reading of all of it: both must find the same. No more
// memory is taken than a constant factor of what has arrived.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "brood/arena/codec.hpp"
#include "channel/framing.hpp"

using namespace brood;
using detail::frame_header_size;
using detail::frame_reader;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

struct outcome {
  std::vector<bytes> messages;
  bool refused = false;
  bool operator==(const outcome&) const = default;
};

outcome read_plainly(std::span<const std::byte> stream, std::uint64_t longest) {
  outcome result;
  while (stream.size() >= frame_header_size) {
    std::uint64_t size = 0;
    std::memcpy(&size, stream.data(), sizeof size);  // a little-endian machine
    if (size > longest) {
      result.refused = true;
      break;
    }
    stream = stream.subspan(frame_header_size);
    if (stream.size() < size) break;
    result.messages.emplace_back(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(size));
    stream = stream.subspan(static_cast<std::size_t>(size));
  }
  return result;
}

outcome read_by_the_reader(std::span<const std::byte> stream, std::uint64_t longest, std::size_t at_a_time) {
  outcome result;
  frame_reader reader(longest);
  std::size_t fed = 0;
  try {
    for (;;) {
      while (auto message = reader.next()) result.messages.push_back(std::move(*message));
      check(!reader.has_next());
      if (fed == stream.size()) break;
      const auto space = reader.space();
      check(!space.empty());
      check(space.size() <= 64 * 1024 + 2 * fed);  // whatever a length claims
      const std::size_t count = std::min({space.size(), at_a_time, stream.size() - fed});
      std::memcpy(space.data(), stream.data() + fed, count);
      reader.filled(count);
      fed += count;
    }
  } catch (const decode_error&) {
    result.refused = true;
    check(reader.has_next());
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::span input(reinterpret_cast<const std::byte*>(data) + 2, size - 2);
  const std::size_t at_a_time = std::size_t{1} << data[0] % 20;
  const std::uint64_t longest =
      data[1] % 65 == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << data[1] % 65) - 1;
  check(read_plainly(input, longest) == read_by_the_reader(input, longest, at_a_time));
  return 0;
}
