// value: one value.
#include "manager/apply.hpp"
#include "manager/arithmetic.hpp"
#include "manager/make_object.hpp"

namespace brood::remote {
namespace {

class value_object final : public object {
 public:
  value_object(space& where, std::uint64_t type, stored_value first)
      : object(where, kind::value, type), value_(std::move(first)) {}

  void handle(call& c) override;
  void each_reference(const std::function<void(object&)>& visit) const override {
    for (const object_ref& o : value_.references) visit(*o);
  }
  void let_go() override { value_ = {}; }

 private:
  stored_value value_;
};

void value_object::handle(call& c) {
  switch (static_cast<value_method>(c.method)) {
    case value_method::get:
      answering(c.from, c.id).value(value_);
      return;
    case value_method::set:
      value_ = c.value();
      answering(c.from, c.id);
      return;
    case value_method::exchange: {
      const stored_value before = std::exchange(value_, c.value());
      answering(c.from, c.id).value(before);
      return;
    }
    case value_method::compare_exchange: {
      const std::string expected = c.key();
      stored_value desired = c.value();
      const bool equal = value_.data == expected;
      if (equal) value_ = std::move(desired);
      answering(c.from, c.id).flag(equal);
      return;
    }
    case value_method::fetch_add: {
      const auto type = static_cast<arithmetic>(c.in.read_byte());
      const std::string added = c.key();
      stored_value after;
      after.data = sum(type, value_.data, added);
      const stored_value before = std::exchange(value_, std::move(after));
      answering(c.from, c.id).value(before);
      return;
    }
    case value_method::apply:
      value_ = apply_function(c, &value_);
      answering(c.from, c.id).value(value_);
      return;
  }
  refuse_method(what());
}

}  // namespace

object* make_value(space& where, std::uint64_t type, call& c) {
  return new value_object(where, type, c.value());
}

}  // namespace brood::remote
