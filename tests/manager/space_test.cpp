// The server's core without sockets: hostile requests, references, cycles, limits.
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "brood/manager/manager.hpp"
#include "catch.hpp"
#include "channel/framing.hpp"
#include "manager/session.hpp"
#include "messages.hpp"

using namespace brood::remote;
using brood::bytes;
using remote_test::call_of;
using remote_test::message;

namespace {

/// One client, and what it has been answered.
struct speaker {
  explicit speaker(space& where) : own(std::make_unique<session>(where)) {}

  /// The outcome of the last answer; 0 if none came.
  int ask(const message& m) {
    own->handle(m.data);
    return last();
  }
  int last() {
    const bytes out = std::exchange(own->out(), {});
    int outcome = 0;
    for (std::span<const std::byte> rest = out; !rest.empty();) {
      std::uint64_t size = 0;
      std::memcpy(&size, rest.data(), sizeof size);
      const auto body = rest.subspan(sizeof size, size);
      brood::detail::byte_reader in(body);
      id = in.read_number();
      outcome = in.read_byte();
      answer.assign(body.end() - static_cast<std::ptrdiff_t>(in.remaining()), body.end());
      rest = rest.subspan(sizeof size + size);
    }
    return outcome;
  }
  number make(kind what, const message& m) {
    static_cast<void>(what);
    REQUIRE(ask(m) == 1);
    brood::detail::byte_reader in(answer);
    return in.read_number();
  }
  number list() { return make(kind::list, message(1, operation::create).byte(2).fixed(7).text("").count(0)); }
  number lock() { return make(kind::lock, message(1, operation::create).byte(6).fixed(7).text("").byte(0)); }

  std::unique_ptr<session> own;
  std::uint64_t id = 0;
  bytes answer;
};

class nothing_special {
 public:
  int answer() { return 42; }
};

constexpr int value = 1;
constexpr int exception = 2;
constexpr int refused = 3;
constexpr int gone = 4;
constexpr int cancelled = 7;

}  // namespace

TEST_CASE("an object lives as long as somebody holds it") {
  space all({});
  speaker a(all);
  speaker b(all);
  const number l = a.list();
  CHECK(all.size() == 1);
  CHECK(b.ask(call_of(2, l, list_method::size)) == value);
  b.ask(message(0, operation::attach).count(l).fixed(7));
  a.ask(message(0, operation::release).count(l).count(1));
  CHECK(all.size() == 1);
  b.own.reset();
  CHECK(all.size() == 0);
  CHECK(a.ask(call_of(3, l, list_method::size)) == gone);
}

TEST_CASE("a release that crosses an answer with the same object gives back only what was seen") {
  space all({});
  speaker a(all);
  const number outer = a.list();
  const number inner = a.list();
  REQUIRE(a.ask(call_of(2, outer, list_method::append).value("x", {inner})) == value);
  REQUIRE(a.ask(call_of(3, outer, list_method::pop).count(1)) ==
          value);  // index -1; the answer is not read yet
  a.ask(message(0, operation::release).count(inner).count(1));
  CHECK(all.size() == 2);
  a.ask(message(0, operation::release).count(inner).count(1));
  CHECK(all.size() == 1);
}

TEST_CASE("a list that contains itself, and a ring of lists, go with the last who knew them") {
  space all({});
  speaker a(all);
  const number own = a.list();
  REQUIRE(a.ask(call_of(2, own, list_method::append).value("x", {own})) == value);
  const number first = a.list();
  const number second = a.list();
  REQUIRE(a.ask(call_of(2, first, list_method::append).value("x", {second})) == value);
  REQUIRE(a.ask(call_of(2, second, list_method::append).value("x", {first})) == value);
  a.ask(message(0, operation::release).count(own).count(1));
  CHECK(all.size() == 2);
  a.ask(message(0, operation::release).count(first).count(1));
  CHECK(all.size() == 2);  // `second` is held, and it holds `first`
  a.ask(message(0, operation::release).count(second).count(1));
  CHECK(all.size() == 0);
}

TEST_CASE("a chain of a hundred thousand lists goes without using up the stack") {
  space all({});
  speaker a(all);
  number last = a.list();
  for (int i = 0; i < 100'000; ++i) {
    const number next = a.list();
    REQUIRE(a.ask(call_of(2, next, list_method::append).value("x", {last})) == value);
    a.ask(message(0, operation::release).count(last).count(1));
    last = next;
  }
  CHECK(all.size() == 100'001);
  a.ask(message(0, operation::release).count(last).count(1));
  CHECK(all.size() == 0);
}

TEST_CASE("a large ring of lists goes once there are enough of its kind") {
  space all({});
  speaker a(all);
  for (int ring = 0; ring < 1000; ++ring) {
    const number first = a.list();
    number last = first;
    for (int i = 0; i < 200; ++i) {
      const number next = a.list();
      a.ask(call_of(2, next, list_method::append).value("x", {last}));
      if (last != first) a.ask(message(0, operation::release).count(last).count(1));
      last = next;
    }
    a.ask(call_of(2, first, list_method::append).value("x", {last}));
    a.ask(message(0, operation::release).count(last).count(1));
    a.ask(message(0, operation::release).count(first).count(1));
  }
  CHECK(all.size() < 100'000);
}

TEST_CASE("what is lent stays for its time and no longer") {
  space all({});
  speaker a(all);
  const number l = a.list();
  a.ask(message(0, operation::lend).count(l));
  a.own.reset();
  CHECK(all.size() == 1);
  all.end_loans(brood::clock::now());
  CHECK(all.size() == 1);
  all.end_loans(brood::clock::now() + std::chrono::minutes(2));
  CHECK(all.size() == 0);
}

TEST_CASE("what is no request ends the connection, wrong arguments are answered") {
  space all({});
  speaker a(all);
  const number l = a.list();
  CHECK_THROWS_AS(a.own->handle({}), brood::decode_error);
  CHECK_THROWS_AS(a.ask(message(1, static_cast<operation>(99))), brood::decode_error);
  CHECK_THROWS_AS(a.ask(message(1, static_cast<operation>(0))), brood::decode_error);
  CHECK(a.ask(call_of(2, l, list_method::append)) == exception);                 // no value
  CHECK(a.ask(call_of(2, l, list_method::append).count(1 << 20)) == exception);  // a size beyond the end
  CHECK(a.ask(call_of(2, l, list_method::append).value("x", {l + 1})) == gone);
  CHECK(a.ask(call_of(2, l, list_method::extend).count(std::uint64_t{1} << 60)) == exception);
  CHECK(a.ask(call_of(2, l, 999)) == refused);
  CHECK(a.ask(call_of(2, l + 1, list_method::size)) == gone);
  CHECK(a.ask(message(2, operation::create).byte(200).fixed(1).text("")) == refused);
  CHECK(a.ask(message(2, operation::create).byte(11).fixed(1).text("").fixed(1)) ==
        refused);  // no such class
  // A name that meets a method's in the table of all names: nothing to construct there.
  const std::uint64_t method = method_entry<nothing_special, &nothing_special::answer>::name();
  CHECK(a.ask(message(2, operation::create).byte(11).fixed(1).text("").fixed(method ^ 1)) == refused);
  CHECK(a.ask(call_of(2, l, list_method::size)) == value);
  CHECK(all.size() == 1);
}

TEST_CASE("an object under a wrong type is refused to who takes it for that, and to nobody else") {
  space all({});
  speaker a(all);
  speaker b(all);
  const number l = a.list();
  b.ask(message(0, operation::attach).count(l).fixed(8));
  CHECK(b.ask(call_of(2, l, list_method::size)) == refused);
  CHECK(a.ask(call_of(2, l, list_method::size)) == value);
}

TEST_CASE("locks, and places in their lines, go with their session; a hold is released once, by its owner") {
  space all({});
  auto a = std::make_unique<speaker>(all);
  speaker b(all);
  auto c = std::make_unique<speaker>(all);
  const number l = b.lock();
  CHECK(a->ask(call_of(10, l, lock_method::acquire)) == value);
  CHECK(c->ask(call_of(11, l, lock_method::acquire)) == 0);
  CHECK(b.ask(call_of(12, l, lock_method::acquire)) == 0);
  CHECK(b.ask(call_of(13, l, lock_method::release).count(10)) == exception);
  c.reset();
  a.reset();
  CHECK(b.last() == value);
  CHECK(b.id == 12);
  CHECK(b.answer.back() == std::byte{1});  // abandoned
  CHECK(b.ask(call_of(14, l, lock_method::release).count(12)) == value);
  CHECK(b.ask(call_of(15, l, lock_method::release).count(12)) == exception);
}

TEST_CASE("calls of one client that wait are limited, and each id is one call's") {
  space::limits few;
  few.max_outstanding = 3;
  space all(few);
  speaker a(all);
  const number l = a.lock();
  CHECK(a.ask(call_of(10, l, lock_method::acquire)) == value);
  for (std::uint64_t id = 11; id < 14; ++id) CHECK(a.ask(call_of(id, l, lock_method::acquire)) == 0);
  CHECK(a.ask(call_of(14, l, lock_method::acquire)) == refused);
  CHECK_THROWS_AS(a.ask(call_of(11, l, lock_method::locked)), brood::decode_error);
  CHECK(a.ask(message(0, operation::cancel).count(11)) == cancelled);
  CHECK(a.ask(message(0, operation::cancel).count(11)) == 0);
  CHECK(a.ask(call_of(0, l, lock_method::acquire)) == 0);  // without an answer nothing can be held
  CHECK(a.own->parked() == 2);
}

TEST_CASE("an object stays while a call waits in it, also of a client that holds no reference") {
  space all({});
  speaker a(all);
  speaker b(all);
  const number l = a.lock();
  CHECK(a.ask(call_of(10, l, lock_method::acquire)) == value);
  CHECK(b.ask(call_of(11, l, lock_method::acquire)) == 0);
  a.ask(message(0, operation::release).count(l).count(1));
  CHECK(all.size() == 1);
  CHECK(b.ask(message(0, operation::cancel).count(11)) == cancelled);
  CHECK(all.size() == 0);
}
