// What services say by sd_notify(3).
#include "service/notify_message.hpp"

#include "catch.hpp"

using brood::detail::parse_notification;

TEST_CASE("lines are read, and what is not known is passed over") {
  const auto message =
      parse_notification("READY=1\nSTATUS=a=b c\nMAINPID=7\nnonsense\n\nEXTEND_TIMEOUT_USEC=1500000\n");
  CHECK(message.ready);
  CHECK(message.status == "a=b c");
  CHECK(message.extend == std::chrono::microseconds(1500000));
  CHECK_FALSE(message.stopping);
  CHECK_FALSE(message.watchdog);
}

TEST_CASE("each of the states") {
  CHECK(parse_notification("STOPPING=1").stopping);
  CHECK(parse_notification("RELOADING=1\nMONOTONIC_USEC=5").reloading);
  CHECK(parse_notification("WATCHDOG=1").watchdog);
  CHECK(parse_notification("WATCHDOG=trigger").trigger);
  CHECK_FALSE(parse_notification("READY=0").ready);
  CHECK_FALSE(parse_notification("").ready);
}

TEST_CASE("numbers that are none, or that no clock can say, are passed over") {
  for (const char* text : {"EXTEND_TIMEOUT_USEC=", "EXTEND_TIMEOUT_USEC=x", "EXTEND_TIMEOUT_USEC=-1",
                           "EXTEND_TIMEOUT_USEC=12 ", "EXTEND_TIMEOUT_USEC=18446744073709551615"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_notification(text).extend);
  }
  CHECK(parse_notification("WATCHDOG_USEC=0").watchdog_limit == std::chrono::microseconds(0));
}
