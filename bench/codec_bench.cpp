// The codec, by Google Benchmark: one struct to bytes and back. Names as in micro_bench.cpp.
#include <benchmark/benchmark.h>

#include <array>
#include <cereal/archives/binary.hpp>
#include <cereal/types/array.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "brood/arena/codec.hpp"

namespace {

struct record {
  std::int64_t id;
  std::string name;
  std::array<double, 3> position;
  std::vector<std::string> tags;
  std::vector<std::int64_t> counts;

  bool operator==(const record&) const = default;
};

/// For cereal, which wants to be told what a struct consists of.
struct listed_record : record {
  template <class Archive>
  void serialize(Archive& archive) {
    archive(id, name, position, tags, counts);
  }
};

record example() {
  std::vector<std::int64_t> counts(16);
  std::iota(counts.begin(), counts.end(), 0);
  return {42, "a name that is long enough", {1.0, 2.0, 3.0}, {"red", "green", "blue"}, counts};
}

void codec_struct(benchmark::State& state) {
  const record value = example();
  for (auto _ : state) {
    const brood::bytes encoded = brood::encode(value);
    const auto copy = brood::decode<record>(encoded);
    if (!(copy == value)) return state.SkipWithError("the copy differs");
  }
}
BENCHMARK(codec_struct)->Name("codec.struct");

void cereal_struct(benchmark::State& state) {
  const listed_record value{example()};
  for (auto _ : state) {
    std::stringstream stream;
    cereal::BinaryOutputArchive out(stream);
    out(value);
    listed_record copy;
    cereal::BinaryInputArchive in(stream);
    in(copy);
    if (!(copy == value)) return state.SkipWithError("the copy differs");
  }
}
BENCHMARK(cereal_struct)->Name("codec.struct/cereal");

/// What the copy must cost by itself: its strings and vectors are allocated.
void copied_struct(benchmark::State& state) {
  const record value = example();
  for (auto _ : state) {
    const record copy = value;
    if (!(copy == value)) return state.SkipWithError("the copy differs");
  }
}
BENCHMARK(copied_struct)->Name("codec.struct/copy");

void copied_bytes(benchmark::State& state) {
  const brood::bytes encoded = brood::encode(example());
  brood::bytes copy(encoded.size());
  for (auto _ : state) {
    std::memcpy(copy.data(), encoded.data(), encoded.size());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(copied_bytes)->Name("codec.struct/memcpy");

}  // namespace

BENCHMARK_MAIN();
