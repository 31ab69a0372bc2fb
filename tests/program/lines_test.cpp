// lines: what many programs write, in one stream, whole, in order and within a bounded window.
#include "brood/program/lines.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;

namespace {

brood::command shell(std::string script) { return brood::command("sh", "-c", std::move(script)); }

struct written {
  std::vector<brood::line_source> sources;
  std::vector<brood::writer> writers;

  void add(const std::string& name) {
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    sources.push_back({name, brood::output_stream::out, brood::reader(brood::unique_fd(fds[0]))});
    writers.emplace_back(brood::unique_fd(fds[1]));
  }
};

brood::task<> write_numbers(brood::writer to, int count) {
  for (int i = 0; i < count; i += 100) {
    std::string some;
    for (int k = i; k < i + 100; ++k) some += std::to_string(k) + "\n";
    co_await to.write(std::move(some));
  }
  to.close();
}

}  // namespace

TEST_CASE("both outputs of several programs, by their names") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::program> programs;
    for (const std::string name : {"one", "two"}) {
      auto what =
          shell("echo out of " + name + "; echo err of " + name + " >&2; printf 'no newline'").name(name);
      what = std::move(what).stdout_(brood::piped).stderr_(brood::piped);
      programs.push_back(co_await std::move(what).spawn());
    }
    std::multiset<std::string> seen;
    auto merged = brood::lines(programs);
    while (auto line = co_await merged.next()) {
      seen.insert(line->name + (line->stream == brood::output_stream::out ? "|" : "!") + line->text);
      CHECK(line->dropped == 0);
      CHECK_FALSE(line->continues);
      CHECK(line->when <= std::chrono::system_clock::now());
    }
    const std::multiset<std::string> expected{"one|out of one", "one|no newline", "one!err of one",
                                              "two|out of two", "two|no newline", "two!err of two"};
    CHECK(seen == expected);
    for (auto& each : programs) co_await each.join();
  });
}

TEST_CASE("many programs with many lines: none is torn, lost or out of order") {
  run_clean([]() -> brood::task<> {
    const int count = as_many_as_allowed(sanitized ? 20 : 100);
    std::vector<brood::program> programs;
    for (int i = 0; i < count; ++i) {
      auto what = brood::command("seq", "1", "2000").name(std::to_string(i)).stdout_(brood::piped);
      programs.push_back(co_await std::move(what).spawn());
    }
    std::map<std::string, int> last;
    bool in_order = true;
    brood::line_options options;
    options.window = 4096;
    auto merged = brood::lines(programs, options);
    while (auto line = co_await merged.next())
      in_order = in_order && line->text == std::to_string(++last[line->name]);
    CHECK(in_order);
    CHECK(last.size() == static_cast<std::size_t>(count));
    for (const auto& [name, lines] : last) CHECK(lines == 2000);
    for (auto& each : programs) co_await each.join();
  });
}

TEST_CASE("lines that nobody takes keep their program waiting") {
  run_clean([]() -> brood::task<> {
    brood::line_options options;
    options.window = 1000;
    auto what = shell("yes | head -c 1000000; echo done >&2").stdout_(brood::piped).stderr_(brood::piped);
    auto program = co_await std::move(what).spawn();
    std::vector<brood::line_source> only_out;
    only_out.push_back({"yes", brood::output_stream::out, program.stdout_()});
    auto merged = brood::lines(only_out, options);
    const auto first = co_await merged.next();
    REQUIRE(first);
    CHECK(first->text == "y");
    CHECK_THROWS_AS(co_await brood::with_timeout(20ms, program.stderr_().read_line()), brood::timed_out);
    int count = 1;
    while (auto line = co_await merged.next()) ++count;
    CHECK(count == 500'000);
    const auto line = co_await program.stderr_().read_line();
    CHECK(line == "done");
    co_await program.join();
  });
}

TEST_CASE("a stream that waits for room is not passed by one that writes without end") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::program> programs;
    for (int i = 0; i < 5; ++i) {
      auto endless = brood::command("yes").name("yes").stdout_(brood::piped);
      programs.push_back(co_await std::move(endless).spawn());
    }
    auto one = brood::command("echo", "here").name("echo").stdout_(brood::piped);
    programs.push_back(co_await std::move(one).spawn());
    brood::line_options options;
    options.window = 100;
    {
      auto merged = brood::lines(programs, options);
      for (bool seen = false; !seen;) {
        const auto line = co_await merged.next();
        seen = line->name == "echo";
      }
    }
    for (auto& each : programs) {
      each.kill();
      co_await each.join();
    }
  });
}

TEST_CASE("lines above the limit come in pieces that say so") {
  run_clean([]() -> brood::task<> {
    written pipe;
    pipe.add("long");
    co_await pipe.writers[0].write("12345678901\nabcde\nabcdef\n\nend");
    pipe.writers[0].close();
    brood::line_options options;
    options.longest = 5;
    std::string seen;
    auto merged = brood::lines(pipe.sources, options);
    while (auto line = co_await merged.next()) seen += line->text + (line->continues ? "+" : ";");
    CHECK(seen == "12345+67890+1;abcde;abcde+f;;end;");
  });
}

TEST_CASE("lines that are dropped are counted, and none is torn") {
  run_clean([]() -> brood::task<> {
    constexpr int count = 200'000;
    written pipe;
    pipe.add("much");
    brood::line_options options;
    options.window = 1000;
    options.full = brood::when_full::drop;
    auto merged = brood::lines(pipe.sources, options);
    co_await write_numbers(pipe.writers[0], count);  // waits for nobody who takes lines
    int next = 0;
    std::uint64_t dropped = 0;
    bool whole = true;
    while (auto line = co_await merged.next()) {
      dropped += line->dropped;
      next += static_cast<int>(line->dropped);
      if (!line->text.empty()) whole = whole && line->text == std::to_string(next++);
    }
    CHECK(whole);
    CHECK(dropped > 0);
    CHECK(next == count);
  });
}

TEST_CASE("a line whose end is dropped is counted as dropped") {
  run_clean([]() -> brood::task<> {
    written pipe;
    pipe.add("torn");
    brood::line_options options;
    options.window = 1;
    options.full = brood::when_full::drop;
    auto merged = brood::lines(pipe.sources, options);
    co_await pipe.writers[0].write("whole\nbeg");
    const auto first = co_await merged.next();
    CHECK(first->text == "whole");
    co_await pipe.writers[0].write("un\nmore\nlast");
    pipe.writers[0].close();
    std::string seen;
    std::uint64_t dropped = 0;
    while (auto line = co_await merged.next()) {
      dropped += line->dropped;
      seen += line->text + ";";
    }
    const bool all_there = seen == "begun;more;last;" && dropped == 0;
    const bool some_dropped = dropped > 0 && seen.find("begmore") == std::string::npos;
    CHECK((all_there || some_dropped));
  });
}

TEST_CASE("a wait for lines that is cancelled loses none; what was read before comes first") {
  run_clean([]() -> brood::task<> {
    written pipe;
    pipe.add("slow");
    co_await pipe.writers[0].write("first\nhalf");
    const auto before = co_await pipe.sources[0].from.read_line();
    CHECK(before == "first");
    auto merged = brood::lines(pipe.sources);
    CHECK_THROWS_AS(co_await brood::with_timeout(5ms, merged.next()), brood::timed_out);
    pipe.writers[0].close();
  });
  run_clean([]() -> brood::task<> {
    auto merged = brood::lines(std::vector<brood::line_source>());
    const auto nothing = co_await merged.next();
    CHECK_FALSE(nothing.has_value());
  });
}
