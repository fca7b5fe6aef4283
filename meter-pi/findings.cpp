#include "meter-pi/findings.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace pulsemeter {
namespace {

std::string_view mark(Health health, Marks marks)
{
    switch (health) {
    case Health::well:
        return marks == Marks::utf8 ? "✓" : "ok  ";
    case Health::wrong:
        return marks == Marks::utf8 ? "✗" : "FAIL";
    case Health::not_looked_at:
        break;
    }
    return marks == Marks::utf8 ? "-" : "-   ";
}

} // namespace

std::string_view text(Health health)
{
    switch (health) {
    case Health::well:
        return "ok";
    case Health::wrong:
        return "wrong";
    case Health::not_looked_at:
        break;
    }
    return "not looked at";
}

Finding well(std::string check, std::string found)
{
    return {std::move(check), Health::well, std::move(found), ""};
}

Finding wrong(std::string check, std::string found, std::string remedy)
{
    return {std::move(check), Health::wrong, std::move(found), std::move(remedy)};
}

Finding not_looked_at(std::string check, std::string why)
{
    return {std::move(check), Health::not_looked_at, std::move(why), ""};
}

bool all_well(std::span<const Finding> findings)
{
    return std::none_of(findings.begin(), findings.end(),
                        [](const Finding& finding) { return finding.health == Health::wrong; });
}

Marks marks_for(const char* lc_all, const char* lc_ctype, const char* lang)
{
    for (const char* variable : {lc_all, lc_ctype, lang}) {
        if (variable == nullptr || *variable == '\0')
            continue;
        std::string locale(variable);
        std::transform(locale.begin(), locale.end(), locale.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        const bool is_utf8 =
            locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
        return is_utf8 ? Marks::utf8 : Marks::ascii;
    }
    return Marks::ascii;
}

std::string line_of(const Finding& finding, Marks marks)
{
    std::string line(mark(finding.health, marks));
    line += " " + finding.check + ": " + finding.found;
    if (!finding.remedy.empty())
        line += ": " + finding.remedy;
    std::replace_if(
        line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    return line;
}

} // namespace pulsemeter
