// Columns that line up, for people. Widths are counted in characters, not bytes ("£" is one). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

class TextTable {
public:
    enum class Align { left, right };
    struct Column {
        std::string title;
        Align align = Align::left;
    };

    explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
    void add(std::vector<std::string> row); // a cell a column
    [[nodiscard]] std::string text() const; // two blanks between columns, none at the end of a line

private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

} // namespace pulsemeter
