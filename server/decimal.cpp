#include "server/decimal.hpp"

#include <algorithm>

namespace pulsemeter {

std::string decimal_text(Wide value, std::size_t decimals, std::size_t at_least)
{
    std::string reversed;
    for (; value > 0 || reversed.size() <= decimals; value /= 10)
        reversed.push_back(static_cast<char>('0' + static_cast<int>(value % 10)));
    std::string digits(reversed.rbegin(), reversed.rend());
    if (decimals == 0)
        return digits;

    const std::size_t whole = digits.size() - decimals;
    const std::size_t last_nonzero = digits.find_last_not_of('0');
    const std::size_t used =
        last_nonzero == std::string::npos || last_nonzero < whole ? 0 : last_nonzero + 1 - whole;
    const std::size_t shown = std::max(used, std::min(at_least, decimals));
    digits.resize(whole + shown);
    if (shown > 0)
        digits.insert(whole, 1, '.');
    return digits;
}

} // namespace pulsemeter
