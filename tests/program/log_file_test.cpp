// log_file, line_printer and tee: lines on their way to files and terminals.
#include "brood/program/log_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "brood/coroutine/error.hpp"
#include "brood/process/command.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

namespace {

struct folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("brood-log-" + std::to_string(getpid()));
  folder() { std::filesystem::create_directories(path); }
  ~folder() { std::filesystem::remove_all(path); }
};

std::string content(const std::filesystem::path& path) {
  std::ostringstream all;
  all << std::ifstream(path).rdbuf();
  return all.str();
}

brood::output_line line_of(const std::string& name, const std::string& text,
                           brood::output_stream stream = brood::output_stream::out) {
  brood::output_line line;
  line.name = name;
  line.text = text;
  line.stream = stream;
  return line;
}

}  // namespace

TEST_CASE("a log file has every line, and what was there before") {
  const folder here;
  const auto path = here.path / "log";
  std::ofstream(path) << "before\n";
  run_clean([&]() -> brood::task<> {
    const brood::log_file log(path);
    for (int i = 0; i < 10'000; ++i) co_await log.write(std::to_string(i));
    co_await log.flush();
    std::istringstream lines(content(path));
    std::string line;
    std::getline(lines, line);
    CHECK(line == "before");
    int count = 0;
    bool right = true;
    while (std::getline(lines, line)) right = right && line == std::to_string(count++);
    CHECK(right);
    CHECK(count == 10'000);
  });
}

TEST_CASE("what was written is in the file when the runtime has ended, without a flush") {
  const folder here;
  run_clean([&]() -> brood::task<> {
    const brood::log_file log(here.path / "log");
    for (int i = 0; i < 1000; ++i) co_await log.write("line");
  });
  CHECK(content(here.path / "log").size() == 5000);
}

TEST_CASE("a log file turns over by size, tears no line and keeps as many as asked") {
  const folder here;
  const auto path = here.path / "log";
  brood::log_options options;
  options.max_size = 100;
  options.keep = 3;
  run_clean([&]() -> brood::task<> {
    const brood::log_file log(path, options);
    for (int i = 0; i < 200; ++i) co_await log.write("line " + std::to_string(i));
    co_await log.write(std::string(300, 'x'));
    co_await log.write("the last");
    co_await log.flush();
  });
  CHECK(content(path) == "the last\n");
  CHECK(content(here.path / "log.1") == std::string(300, 'x') + "\n");
  CHECK(std::filesystem::exists(here.path / "log.3"));
  CHECK_FALSE(std::filesystem::exists(here.path / "log.4"));
  const std::string before = content(here.path / "log.2");
  CHECK(before.size() <= 100);
  CHECK(before.starts_with("line "));
  CHECK(before.ends_with("line 199\n"));
}

TEST_CASE("a log file turns over by age, and without a file kept begins anew") {
  const folder here;
  const auto path = here.path / "log";
  std::ofstream(path) << "old\n";
  std::filesystem::last_write_time(path,
                                   std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  brood::log_options options;
  options.max_age = std::chrono::hours(1);
  options.keep = 0;
  run_clean([&]() -> brood::task<> {
    const brood::log_file log(path, options);
    co_await log.write("new");
    co_await log.flush();
  });
  CHECK(content(path) == "new\n");
  CHECK_FALSE(std::filesystem::exists(here.path / "log.1"));
}

TEST_CASE("a full disk is told, leaves no torn line, and room that comes later is used") {
  const folder here;
  const auto path = here.path / "log";
  struct sigaction ignored{}, previous{};
  ignored.sa_handler = SIG_IGN;
  sigaction(SIGXFSZ, &ignored, &previous);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  run_clean([&]() -> brood::task<> {
    const brood::log_file log(path);
    co_await log.write("fits");
    co_await log.flush();
    const rlimit small{12, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    std::string told;
    try {
      co_await log.write("does not fit");
      co_await log.flush();
    } catch (const std::system_error& e) {
      told = e.what();
    }
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_THAT(told, contains_text(path.string()));
    CHECK_THAT(told, contains_text("File too large"));
    CHECK(content(path) == "fits\n");
    co_await log.write("fits again");
    co_await log.flush();
    CHECK(content(path) == "fits\nfits again\n");
  });
  sigaction(SIGXFSZ, &previous, nullptr);
  CHECK_THROWS_AS(brood::log_file("/no/such/folder/log"), std::system_error);
  run_clean([]() -> brood::task<> {
    const brood::log_file full("/dev/full");
    co_await full.write("no room");
    std::string told;
    try {
      co_await full.flush();
    } catch (const std::system_error& e) {
      told = e.what();
    }
    CHECK_THAT(told, contains_text("No space left on device"));
  });
}

TEST_CASE("lines are printed behind the names of their programs, in colours if there are to be any") {
  const folder here;
  run_clean([&]() -> brood::task<> {
    const brood::unique_fd plain(open((here.path / "plain").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const brood::unique_fd coloured(
        open((here.path / "coloured").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const brood::line_printer printer(plain.get());
    const brood::line_printer painter(coloured.get(), brood::colours::always);
    std::vector<brood::output_line> all{line_of("long name", "one"),
                                        line_of("b", "two", brood::output_stream::err)};
    all.back().dropped = 7;
    for (const auto& each : all) {
      co_await printer.write(each);
      co_await painter.write(each);
    }
    co_await printer.flush();
    co_await painter.flush();
  });
  CHECK(content(here.path / "plain") == "long name | one\nb         ! [7 lines dropped]\nb         ! two\n");
  CHECK(content(here.path / "coloured").starts_with("\x1b[36mlong name |\x1b[0m one\n\x1b[33mb"));
}

TEST_CASE("printing to nobody is closed, without SIGPIPE") {
  run_clean([]() -> brood::task<> {
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    const brood::unique_fd out(fds[1]);
    const brood::line_printer printer(out.get());
    close(fds[0]);
    co_await printer.write(line_of("x", "y"));
    CHECK_THROWS_AS(co_await printer.flush(), brood::closed);
  });
}

TEST_CASE("tee passes lines on and puts them into files") {
  const folder here;
  run_clean([&]() -> brood::task<> {
    auto what = brood::command("seq", "3").name("seq").stdout_(brood::piped);
    std::vector<brood::program> programs;
    programs.push_back(co_await std::move(what).spawn());
    brood::log_options prefixed;
    prefixed.prefixed = true;
    const brood::log_file one(here.path / "one");
    const brood::log_file two(here.path / "two", prefixed);
    auto passed = brood::tee(brood::lines(programs), one, two);
    std::string seen;
    while (auto line = co_await passed.next()) seen += line->text;
    CHECK(seen == "123");
    co_await programs[0].join();
  });
  CHECK(content(here.path / "one") == "1\n2\n3\n");
  CHECK_THAT(content(here.path / "two"), contains_text("Z seq out 2\n"));
}
