// libFuzzer target: what the engine says. The first byte says how many bytes arrive at a time. The rest arrives as a stream of
// answers, and once more all at once: both must find the same. Each text in them is then read as a task and as results, as
// an agent and a client do behind a seal that holds.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "brood/arena/codec.hpp"
#include "cluster/answer_reader.hpp"
#include "cluster/task_message.hpp"

using namespace brood::cluster::detail;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void describe(const answer& what, std::string& into) {
  into +=
      std::to_string(static_cast<int>(what.what)) + ":" + std::to_string(what.count) + ":" + what.text + "(";
  for (const answer& each : what.items) describe(each, into);
  into += ")";
}

struct outcome {
  std::vector<answer> answers;
  std::string text;
  bool refused = false;
};

outcome read(std::span<const char> stream, std::size_t at_a_time) {
  outcome result;
  answer_reader reader;
  try {
    while (!stream.empty()) {
      const auto part = stream.first(std::min(at_a_time, stream.size()));
      stream = stream.subspan(part.size());
      reader.feed(part);
      while (auto next = reader.next()) {
        describe(*next, result.text);
        result.answers.push_back(std::move(*next));
      }
    }
  } catch (const malformed_answer&) {
    result.refused = true;
  }
  return result;
}

template <class T>
void try_as(std::span<const std::byte> bytes) {
  try {
    static_cast<void>(brood::decode<T>(bytes));
  } catch (const brood::decode_error&) {
  }
}

void use(answer& what) {
  const auto bytes = std::as_bytes(std::span(what.text));
  try_as<task_message>(bytes);
  try_as<std::vector<item_result>>(bytes);
  try_as<work_item>(bytes);
  for (answer& each : what.items) use(each);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::span input(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto whole = read(input, input.size());
  const auto parts = read(input, std::size_t{1} << data[0] % 16);
  check(whole.refused == parts.refused);
  check(whole.text == parts.text);
  for (answer& each : whole.answers) use(each);
  return 0;
}
