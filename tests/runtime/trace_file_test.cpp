#include "runtime/trace_file.hpp"

#include "catch.hpp"

using brood::detail::is_whole_event;
using brood::detail::json_escaped;

TEST_CASE("what stands in a JSON string is escaped") {
  CHECK(json_escaped("plain text, ä €") == "plain text, ä €");
  CHECK(json_escaped("say \"no\"\\\n\x01") == "say \\\"no\\\"\\\\\\u000a\\u0001");
  CHECK(json_escaped("\xff\xc3") == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(json_escaped("\xed\xa0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  CHECK(json_escaped("\xf0\x9f\x90\xa3") == "\xf0\x9f\x90\xa3");
}

TEST_CASE("a torn line of a trace is no event") {
  const std::string whole = R"({"name":"a \"}},","args":{"x":{}}},)";
  CHECK(is_whole_event(whole));
  for (std::size_t length = 0; length < whole.size(); ++length)
    CHECK_FALSE(is_whole_event(whole.substr(0, length)));
  CHECK_FALSE(is_whole_event(whole + whole));
  CHECK_FALSE(is_whole_event("["));
}
