// The files of a folder compressed in parallel, each to a .gz beside it in another folder; every result is
// read back and compared. A file that cannot be compressed is reported, and ends none of the others.
#include <fmt/core.h>
#include <zlib.h>

#include <CLI/CLI.hpp>
#include <brood/brood.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct sizes {
  std::uint64_t plain = 0;
  std::uint64_t packed = 0;
};

std::string contents_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return text;
}

void write_packed(const fs::path& path, const std::string& text) {
  const gzFile file = gzopen(path.c_str(), "wb6");
  if (file == nullptr) throw std::runtime_error("cannot write " + path.string());
  const bool written = text.empty() || gzwrite(file, text.data(), static_cast<unsigned>(text.size())) > 0;
  if (gzclose(file) != Z_OK || !written) throw std::runtime_error("cannot write " + path.string());
}

std::string unpacked(const fs::path& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), &gzclose);
  std::string text;
  char buffer[64 * 1024];
  int got = 0;
  while (file != nullptr && (got = gzread(file.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  if (file == nullptr || got < 0) throw std::runtime_error("cannot read " + path.string());
  return text;
}

/// In a worker.
sizes compress(const fs::path& from, const fs::path& to) {
  const std::string text = contents_of(from);
  write_packed(to, text);
  if (unpacked(to) != text) throw std::runtime_error(to.string() + " is not what was written");
  return {text.size(), fs::file_size(to)};
}

brood::task<int> compress_all(fs::path folder, fs::path target, int workers) {
  std::vector<std::tuple<fs::path, fs::path>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    fs::path to = target / fs::relative(entry.path(), folder);
    fs::create_directories(to.parent_path());
    to += ".gz";
    files.emplace_back(entry.path(), to);
  }
  auto pool = co_await brood::pool::open(workers);
  const auto tell = [](std::uint64_t done, std::uint64_t total) {
    fmt::print(stderr, "\r{} of {}", done, total);
  };
  const auto results = co_await pool.starmap<compress>(files).chunk(1).progress(tell).collect();
  if (!files.empty()) fmt::print(stderr, "\n");
  sizes all;
  int failed = 0;
  for (const auto& each : results) {
    try {
      all.plain += each.value().plain;
      all.packed += each.value().packed;
    } catch (const brood::error& e) {
      ++failed;
      fmt::print(stderr, "{}\n", e.what());
    }
  }
  co_await pool.close();
  fmt::print("{} files, {} bytes became {}, {} failed\n", files.size(), all.plain, all.packed, failed);
  co_return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Compresses the files of a folder by a pool of processes");
  fs::path folder;
  fs::path target;
  int workers = brood::cpu_count();
  app.add_option("--workers", workers)->check(CLI::PositiveNumber);
  app.add_option("folder", folder)->required()->check(CLI::ExistingDirectory);
  app.add_option("target", target, "where the compressed files go")->required();
  CLI11_PARSE(app, argc, argv);
  return brood::run(argc, argv, [&]() { return compress_all(folder, target, workers); });
}
