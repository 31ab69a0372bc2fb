#include "runtime/trace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>

#include "catch.hpp"
#include "leftovers.hpp"

using brood::detail::is_whole_event;
using brood::detail::trace_file;
namespace fs = std::filesystem;

namespace {

struct folder {
  folder() {
    std::string name = "/tmp/brood-trace-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~folder() { fs::remove_all(path); }
  fs::path path;
};

std::error_code refusal(const fs::path& path) {
  try {
    trace_file::begin(path);
  } catch (const std::system_error& e) {
    return e.code();
  }
  trace_file::end();
  return {};
}

std::string content(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void trace_something() {
  const auto now = brood::clock::now();
  trace_file::current()->span("task", "something", nullptr, now, now);
}

}  // namespace

TEST_CASE("a torn line of a trace is no event") {
  const std::string whole = R"({"name":"a \"}},","args":{"x":{}}},)";
  CHECK(is_whole_event(whole));
  for (std::size_t length = 0; length < whole.size(); ++length)
    CHECK_FALSE(is_whole_event(whole.substr(0, length)));
  CHECK_FALSE(is_whole_event(whole + whole));
  CHECK_FALSE(is_whole_event("["));
}

TEST_CASE("a trace replaces no device, waits at no FIFO and follows no link") {
  const leftovers before = leftovers::now();
  {
    folder here;
    CHECK(refusal("/dev/full").value() == EINVAL);
    CHECK(fs::is_character_file("/dev/full"));

    const fs::path fifo = here.path / "fifo";
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(refusal(fifo).value() == EINVAL);
    CHECK(fs::is_fifo(fifo));

    const fs::path victim = here.path / "victim";
    std::ofstream(victim) << "precious";
    fs::create_symlink(victim, here.path / "link");
    CHECK(refusal(here.path / "link").value() == ELOOP);
    CHECK(content(victim) == "precious");
    CHECK(refusal(here.path).value() == EISDIR);
    CHECK(trace_file::current() == nullptr);
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("the end of a trace does not follow a link that was planted beside it") {
  const leftovers before = leftovers::now();
  {
    folder here;
    const fs::path victim = here.path / "victim";
    std::ofstream(victim) << "precious";
    fs::create_symlink(victim, here.path / "trace.json.finished");
    trace_file::begin(here.path / "trace.json");
    trace_something();
    trace_file::end();
    CHECK(content(victim) == "precious");
    const std::string trace = content(here.path / "trace.json");
    CHECK(trace.starts_with("[\n{"));
    CHECK(trace.ends_with("}\n]\n"));
    CHECK(std::distance(fs::directory_iterator(here.path), {}) == 3);  // nothing unfinished is left
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("a trace that cannot be ended says why, and another one can begin") {
  const leftovers before = leftovers::now();
  {
    folder here;
    const fs::path gone = here.path / "gone";
    fs::create_directory(gone);
    trace_file::begin(gone / "trace.json");
    fs::remove_all(gone);
    std::error_code why;
    try {
      trace_file::end();
    } catch (const std::system_error& e) {
      why = e.code();
    }
    CHECK(why.value() == ENOENT);
    CHECK(refusal(here.path / "trace.json") == std::error_code());
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("the loops of several threads write one trace, also while one of them ends it") {
  constexpr int spans = 5000;
  const leftovers before = leftovers::now();
  {
    folder here;
    const fs::path path = here.path / "trace.json";
    trace_file::begin(path);
    {
      std::array<std::jthread, 2> threads;
      for (auto& thread : threads) {
        thread = std::jthread([] {
          for (int i = 0; i < spans; ++i) trace_something();
        });
      }
    }
    trace_file* const kept = trace_file::current();
    std::jthread late([kept] {
      const auto now = brood::clock::now();
      for (int i = 0; i < spans; ++i) kept->span("task", "late", nullptr, now, now);
    });
    trace_file::end();
    std::ifstream lines(path);
    std::string line;
    int whole = 0;
    int others = 0;
    while (std::getline(lines, line)) {
      if (!line.ends_with(',')) line += ',';
      if (!is_whole_event(line)) {
        ++others;
      } else if (line.find("something") != std::string::npos) {
        ++whole;
      }
    }
    CHECK(whole == 2 * 2 * spans);
    CHECK(others == 2);
  }
  CHECK(leftovers::now() == before);
}
