// Types of every kind that the codec's tests and its fuzzer send.
#pragma once

#include <cereal/types/base_class.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "brood/arena/codec.hpp"

namespace samples {

struct nothing {
  bool operator==(const nothing&) const = default;
};

struct tree {
  std::string name;
  std::vector<tree> children;
  bool operator==(const tree&) const = default;
};

struct chain {
  int value = 0;
  std::unique_ptr<chain> next;
};

/// Private members, save and load.
class split_handle {
 public:
  split_handle() = default;
  split_handle(int number, std::string text) : number_(number), text_(std::move(text)) {}
  bool operator==(const split_handle&) const = default;
  template <class A>
  void save(A& ar) const {
    ar(number_, text_);
  }
  template <class A>
  void load(A& ar) {
    ar(number_, text_);
  }

 private:
  int number_ = 0;
  std::string text_;
};

/// A private `serialize` that is open to cereal, in its older notation.
class serialized {
 public:
  serialized() = default;
  serialized(int number, std::vector<std::string> words) : number_(number), words_(std::move(words)) {}
  bool operator==(const serialized&) const = default;

 private:
  friend class cereal::access;
  template <class A>
  void serialize(A& ar) {
    ar& CEREAL_NVP(number_) & words_;
  }
  int number_ = 0;
  std::vector<std::string> words_;
};

/// Writes and reads raw bytes.
class raw_handle {
 public:
  raw_handle() = default;
  explicit raw_handle(std::uint64_t block) : block_(block) {}
  bool operator==(const raw_handle&) const = default;
  template <class A>
  void save(A& ar) const {
    ar.write(&block_, sizeof block_);
  }
  template <class A>
  void load(A& ar) {
    if (ar.remaining() >= sizeof block_) ar.read(&block_, sizeof block_);
  }

 private:
  std::uint64_t block_ = 0;
};

/// An aggregate that would be flat, had it not functions of its own.
struct trivial_handle {
  int number = 0;
  bool operator==(const trivial_handle&) const = default;
  template <class A>
  void serialize(A& ar) {
    ar(number);
  }
};

struct says_nothing {
  bool operator==(const says_nothing&) const = default;
  template <class A>
  void serialize(A&) {}
};

class move_only {
 public:
  move_only() = default;
  explicit move_only(int number) : number_(std::make_unique<int>(number)) {}
  int number() const { return *number_; }
  template <class A>
  void save(A& ar) const {
    ar(number_);
  }
  template <class A>
  void load(A& ar) {
    ar(number_);
  }

 private:
  std::unique_ptr<int> number_;
};

/// Its default constructor would create something new, which a message must not.
class creating_handle {
 public:
  creating_handle() : number_(++created) {}
  explicit creating_handle(brood::to_be_loaded) {}
  bool operator==(const creating_handle&) const = default;
  template <class A>
  void serialize(A& ar) {
    ar(number_);
  }
  static inline int created = 0;

 private:
  int number_ = 0;
};

struct outside {
  int number;
  bool operator==(const outside&) const = default;
};
template <class A>
void serialize(A& ar, outside& object) {
  ar(object.number);
}

struct minimal {
  std::string text;
  bool operator==(const minimal&) const = default;
  template <class A>
  std::string save_minimal(const A&) const {
    return text;
  }
  template <class A>
  void load_minimal(const A&, const std::string& value) {
    text = value;
  }
};

struct versioned {
  int a = 0, b = 0;
  bool operator==(const versioned&) const = default;
  template <class A>
  void serialize(A& ar, const std::uint32_t version) {
    ar(a);
    if (version >= 3) ar(b);
  }
};

struct base {
  std::string text;
  bool operator==(const base&) const = default;
};

struct entry {
  int number;
  std::string text;
  bool operator==(const entry&) const = default;
};

class derived : public base {
 public:
  derived() = default;
  derived(int number, std::string words, std::vector<entry> entries)
      : base{std::move(words)}, number_(number), entries_(std::move(entries)) {}
  bool operator==(const derived&) const = default;
  template <class A>
  void serialize(A& ar) {
    ar(cereal::base_class<base>(this), number_, entries_);
  }

 private:
  int number_ = 0;
  std::vector<entry> entries_;
};

/// Its own size tag and binary data, as cereal's containers do it.
class sized {
 public:
  sized() = default;
  explicit sized(std::vector<int> numbers) : numbers_(std::move(numbers)) {}
  bool operator==(const sized&) const = default;
  template <class A>
  void save(A& ar) const {
    ar(cereal::make_size_tag(static_cast<cereal::size_type>(numbers_.size())));
    ar(cereal::binary_data(numbers_.data(), numbers_.size() * sizeof(int)));
  }
  template <class A>
  void load(A& ar) {
    cereal::size_type size = 0;
    ar(cereal::make_size_tag(size));
    numbers_.resize(static_cast<std::size_t>(size));
    ar(cereal::binary_data(numbers_.data(), numbers_.size() * sizeof(int)));
  }

 private:
  std::vector<int> numbers_;
};

struct keyed {
  std::map<std::string, int> map;
  bool operator==(const keyed&) const = default;
  template <class A>
  void save(A& ar) const {
    ar(cereal::make_size_tag(static_cast<cereal::size_type>(map.size())));
    for (const auto& [key, value] : map) ar(cereal::make_map_item(key, value));
  }
  template <class A>
  void load(A& ar) {
    cereal::size_type size = 0;
    for (ar(cereal::make_size_tag(size)); size > 0; --size) {
      std::string key;
      int value = 0;
      ar(cereal::make_map_item(key, value));
      map.emplace(std::move(key), value);
    }
  }
};

/// Loses the value of its variant when it is made.
struct valueless {
  struct fragile {
    std::string text;
    fragile() = default;
    explicit fragile(int) { throw 1; }
    template <class A>
    void serialize(A& ar) {
      ar(text);
    }
  };
  std::variant<std::string, fragile> lost;
  valueless() {
    try {
      lost.emplace<1>(1);
    } catch (int) {
    }
  }
  template <class A>
  void serialize(A& ar) {
    ar(lost);
  }
};

}  // namespace samples

CEREAL_CLASS_VERSION(samples::versioned, 3)
