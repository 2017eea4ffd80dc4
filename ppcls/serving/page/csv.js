// Results as a table for spreadsheets (RFC 4180).

const COLUMNS = ["file_name", "rank", "class_id", "label", "score", "error"];

// A spreadsheet would compute a cell that begins like this; files and classes may be named by anybody.
const FORMULA = /^[=+\-@＝＋－＠\t\r\n]/;

function cell(value) {
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function rows(result) {
  if (result.error !== undefined) {
    return [[result.file_name, "", "", "", "", result.error]];
  }
  if (!result.class_ids.length) return [[result.file_name, "", "", "", "", ""]];
  return result.class_ids.map((id, place) => {
    return [result.file_name, place + 1, id, result.label_names[place] ?? "", result.scores[place], ""];
  });
}

// Excel takes a file for UTF-8 only with the mark at its beginning.
export function toCsv(results) {
  const lines = [COLUMNS, ...results.flatMap(rows)].map((row) => row.map(cell).join(","));
  return `\ufeff${lines.join("\r\n")}\r\n`;
}
