#include "server/text_table.hpp"

#include "shared/ensure.hpp"

#include <algorithm>

namespace pulsemeter {
namespace {

std::size_t characters(std::string_view text)
{
    const auto begins_one = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; };
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_one));
}

} // namespace

void TextTable::add(std::vector<std::string> row)
{
    ENSURE(row.size() == columns_.size(), "a row of a table has a cell for each column");
    rows_.push_back(std::move(row));
}

std::string TextTable::text() const
{
    std::vector<std::size_t> widths;
    for (std::size_t at = 0; at < columns_.size(); ++at) {
        widths.push_back(characters(columns_[at].title));
        for (const auto& row : rows_)
            widths[at] = std::max(widths[at], characters(row[at]));
    }

    std::string text;
    const auto add_cell = [&](std::size_t at, const std::string& cell) {
        const std::string blanks(widths[at] - characters(cell), ' ');
        text += columns_[at].align == Align::right ? blanks + cell : cell + blanks;
        text += "  ";
    };
    const auto end_line = [&] {
        text.erase(text.find_last_not_of(' ') + 1);
        text += '\n';
    };
    for (std::size_t at = 0; at < columns_.size(); ++at)
        add_cell(at, columns_[at].title);
    end_line();
    for (const auto& row : rows_) {
        for (std::size_t at = 0; at < columns_.size(); ++at)
            add_cell(at, row[at]);
        end_line();
    }
    return text;
}

} // namespace pulsemeter
