// expect: cannot be default-constructed first
// expect: message
#include <string>

#include "brood/arena/codec.hpp"

class message {
 public:
  explicit message(int);
  template <class A>
  void serialize(A& ar) {
    ar(text_);
  }

 private:
  std::string text_;
};
void f(const message& m) { static_cast<void>(brood::encode(m)); }
