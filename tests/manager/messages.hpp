// Requests as a client of a manager writes them, and as none would.
#pragma once

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "brood/manager/detail/protocol.hpp"

namespace remote_test {

using brood::bytes;
using brood::remote::number;
using brood::remote::operation;
using namespace brood::remote;

/// Writes requests as a client would, or as none would.
struct message {
  bytes data;
  message(std::uint64_t id, operation what) {
    put_count(data, id);
    data.push_back(static_cast<std::byte>(what));
  }
  message& count(std::uint64_t n) {
    put_count(data, n);
    return *this;
  }
  message& byte(unsigned n) {
    data.push_back(static_cast<std::byte>(n));
    return *this;
  }
  message& fixed(std::uint64_t n) {
    put_fixed(data, n);
    return *this;
  }
  message& text(const std::string& t) {
    put_text(data, t);
    return *this;
  }
  message& value(const std::string& v, const std::vector<number>& objects = {}) {
    put_count(data, v.size() << 1 | (objects.empty() ? 0 : 1));
    if (!objects.empty()) put_count(data, objects.size());
    for (const number n : objects) put_count(data, n);
    put_bytes(data, std::as_bytes(std::span(v)));
    return *this;
  }
};

inline message call_of(std::uint64_t id, number object, auto method) {
  return message(id, operation::call).count(object).count(static_cast<std::uint64_t>(method));
}

/// Each kind of object, and calls of each of its methods, as ids and objects come.
inline std::vector<bytes> good_requests() {
  std::vector<bytes> result;
  const auto add = [&](const message& m) { result.push_back(m.data); };
  const auto create = [](kind what) {
    return message(1, operation::create).byte(static_cast<unsigned>(what)).fixed(7).text("");
  };
  add(create(kind::dict));  // object 1, and so on
  add(create(kind::list).count(2).value("a").value("b"));
  add(create(kind::set));
  add(create(kind::value).value("12345678"));
  add(create(kind::queue).count(2));
  add(create(kind::lock).byte(1));
  add(create(kind::semaphore).count(3).byte(1));
  add(create(kind::event));
  add(create(kind::condition).value("l", {6}));
  add(create(kind::barrier).count(2));
  add(message(1, operation::create).byte(2).fixed(7).text("named").count(0));
  const std::size_t methods[] = {18, 20, 9, 6, 14, 4, 5, 4, 4, 5};
  for (number object = 1; object <= 10; ++object) {
    for (std::uint64_t method = 1; method <= methods[object - 1]; ++method) {
      add(call_of(object * 100 + method, object, method));
      add(call_of(object * 100 + method, object, method).value("key").value("12345678"));
      add(call_of(object * 100 + method, object, method).count(2).value("12345678"));
      add(call_of(object * 100 + method, object, method)
              .value("key")
              .count(4)
              .value("12345678")
              .value("x", {2}));
      add(call_of(object * 100 + method, object, method).count(2).count(1).value("x", {1, 3}));
    }
  }
  for (number object = 1; object <= 10; ++object) {
    add(message(0, operation::attach).count(object).fixed(7));
    add(message(0, operation::release).count(object).count(1));
    add(message(0, operation::lend).count(object));
    add(message(0, operation::cancel).count(object * 100 + 1));
  }
  add(message(5, operation::objects));
  return result;
}

/// Good requests, each with a few things done to it.
class mutator {
 public:
  explicit mutator(std::uint32_t seed) : random_(seed) {}

  bytes next() {
    bytes m = pick();
    for (unsigned changes = roll(4); changes > 0; --changes) change(m);
    return m;
  }

 private:
  unsigned roll(std::size_t sides) { return static_cast<unsigned>(random_() % sides); }
  const bytes& pick() { return requests_[roll(requests_.size())]; }
  void change(bytes& m) {
    const auto place = m.begin() + roll(m.size() + 1);
    switch (roll(6)) {
      case 0:
        if (place != m.end()) *place ^= static_cast<std::byte>(1u << roll(8));
        return;
      case 1:
        m.erase(place, m.end());
        return;
      case 2:
        m.insert(place, static_cast<std::byte>(roll(256)));
        return;
      case 3: {  // a number beyond all bounds
        const std::vector<std::byte> huge(1 + roll(9), std::byte{0xff});
        m.insert(place, huge.begin(), huge.end());
        return;
      }
      case 4:
        if (place != m.end()) m.erase(place);
        return;
      default: {  // and then another one's end
        const bytes& other = pick();
        m.erase(place, m.end());
        m.insert(m.end(), other.begin() + roll(other.size()), other.end());
      }
    }
  }

  std::mt19937 random_;
  std::vector<bytes> requests_ = good_requests();
};

/// An authenticated client may end the manager; that is no attack.
inline bool asks_for_the_end(const bytes& m) {
  try {
    brood::detail::byte_reader in(m);
    in.read_number();
    return in.read_byte() == static_cast<unsigned>(operation::shutdown);
  } catch (const brood::decode_error&) {
    return false;
  }
}

}  // namespace remote_test
