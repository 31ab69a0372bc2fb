// What others chose, such as a name or a message, in lines that the library writes.
#include "runtime/escape.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "catch.hpp"
#include "leftovers.hpp"
#include "runtime/log.hpp"

using brood::detail::json_escaped;
using brood::detail::on_one_line;

namespace {

/// What `write` writes to standard error, which fits into a pipe.
template <class Write>
std::string written_to_stderr(Write write) {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  dup2(ends[1], STDERR_FILENO);
  write();
  dup2(before, STDERR_FILENO);
  close(before);
  close(ends[1]);
  std::string text(4096, '\0');
  const ssize_t count = read(ends[0], text.data(), text.size());
  close(ends[0]);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

}  // namespace

TEST_CASE("what stands in a JSON string is escaped") {
  CHECK(json_escaped("plain text, ä €") == "plain text, ä €");
  CHECK(json_escaped("say \"no\"\\\n\x01") == "say \\\"no\\\"\\\\\\u000a\\u0001");
  CHECK(json_escaped("\xff\xc3") == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(json_escaped("\xed\xa0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  CHECK(json_escaped("\xf0\x9f\x90\xa3") == "\xf0\x9f\x90\xa3");
}

TEST_CASE("a name with a newline or an escape sequence stays on its line") {
  CHECK(on_one_line("plain text, ä €") == "plain text, ä €");
  CHECK(on_one_line("a\nb\tc\r") == "a\\nb\\tc\\x0d");
  CHECK(on_one_line("\x1b[2J\x7f") == "\\x1b[2J\\x7f");
  CHECK(on_one_line("\xc2\x9b"
                    "31m") == "\\xc2\\x9b31m");  // CSI as one character
  CHECK(on_one_line("\xc2\xa0") == "\xc2\xa0");
  CHECK(on_one_line("\xff") == "\\xff");
  CHECK(on_one_line(std::string_view("\0", 1)) == "\\x00");
}

TEST_CASE("a name forges no line of the log") {
  const leftovers before = leftovers::now();
  const std::string name = "worker\nbrood: all is well\x1b[2J";
  CHECK(written_to_stderr([&] { brood::detail::log_error("{} failed", name); }) ==
        "brood: worker\\nbrood: all is well\\x1b[2J failed\n");
  CHECK(written_to_stderr([&] { brood::detail::write_log_line(name, "  at f\n  at g"); }) ==
        "brood: worker\\nbrood: all is well\\x1b[2J\n  at f\n  at g\n");
  CHECK(leftovers::now() == before);
}
