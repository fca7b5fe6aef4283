// A sound database that the input damages: bytes of the file, or single values through SQL (which a reader of the file
// could have changed as well, past every check of the pages).
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

namespace pulsemeter {

class DamagedImage {
public:
    // `make` leaves a sound and closed database in the file.
    DamagedImage(const char* file_name, const std::function<void(const std::filesystem::path&)>& make)
    {
        std::string name = (std::filesystem::temp_directory_path() / "pulsemeter-fuzz-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            std::abort();
        folder_ = name;
        file_ = folder_ / file_name;
        make(file_);
        std::ifstream in(file_, std::ios::binary);
        sound_.assign(std::istreambuf_iterator<char>(in), {});
        SQLite::Database database(file_.string(), SQLite::OPEN_READWRITE);
        SQLite::Statement columns(database,
                                  "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c "
                                  "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' ORDER BY 1, 2");
        while (columns.executeStep())
            columns_.emplace_back(columns.getColumn(0).getString(), columns.getColumn(1).getString());
    }
    ~DamagedImage()
    {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    DamagedImage(const DamagedImage&) = delete;
    DamagedImage& operator=(const DamagedImage&) = delete;

    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
    [[nodiscard]] const std::filesystem::path& file() const { return file_; }

    void damage(FuzzedDataProvider& input) const
    {
        for (const char* suffix : {"-wal", "-shm", "-journal"})
            std::filesystem::remove(file_.string() + suffix);
        std::string bytes = sound_;
        if (input.ConsumeBool()) {
            for (int patch = 0; patch < 8 && input.remaining_bytes() > 0; ++patch)
                bytes[input.ConsumeIntegralInRange<std::size_t>(0, bytes.size() - 1)] =
                    input.ConsumeIntegral<char>();
            if (input.ConsumeBool())
                bytes.resize(input.ConsumeIntegralInRange<std::size_t>(0, bytes.size()));
            write(bytes);
            return;
        }
        write(bytes);
        SQLite::Database database(file_.string(), SQLite::OPEN_READWRITE);
        database.exec("PRAGMA synchronous = OFF");
        for (int edit = 0; edit < 4 && input.remaining_bytes() > 0; ++edit)
            edit_value(database, input);
    }

private:
    void write(const std::string& bytes) const
    {
        std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes;
    }

    void edit_value(SQLite::Database& database, FuzzedDataProvider& input) const
    {
        const auto& [table, column] =
            columns_[input.ConsumeIntegralInRange<std::size_t>(0, columns_.size() - 1)];
        try {
            SQLite::Statement edit(database, "UPDATE " + table + " SET " + column + " = ?1 WHERE " + column +
                                                 " IS (SELECT " + column + " FROM " + table +
                                                 " LIMIT 1 OFFSET ?2)");
            edit.bind(2, input.ConsumeIntegralInRange(0, 40));
            switch (input.ConsumeIntegralInRange(0, 3)) {
            case 0:
                edit.bind(1, input.ConsumeIntegral<std::int64_t>());
                break;
            case 1:
                edit.bind(1, std::int64_t{input.ConsumeIntegral<std::int8_t>()});
                break;
            case 2: {
                const std::string text = input.ConsumeRandomLengthString(40);
                edit.bind(1, text);
                break;
            }
            default: {
                const std::string blob = input.ConsumeRandomLengthString(140);
                edit.bind(1, blob.data(), static_cast<int>(blob.size()));
            }
            }
            edit.exec();
        } catch (const SQLite::Exception&) {
            // a value that not even the table takes
        }
    }

    std::filesystem::path folder_;
    std::filesystem::path file_;
    std::string sound_;
    std::vector<std::pair<std::string, std::string>> columns_;
};

} // namespace pulsemeter
