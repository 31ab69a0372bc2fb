// expect: neither an aggregate nor trivially copyable
// expect: message
#include <string>
#include <vector>

#include "brood/arena/codec.hpp"

class message {
 public:
  message();

 private:
  std::string text_;
};
auto encoded = brood::encode(std::vector<message>());
