// Reads an AsyncAPI document with the official parser; errors fail, the rest is printed.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const SEVERITIES = ["error", "warning", "information", "hint"];
// 3.0.0 is the version of the contract; that there is a later one is no finding.
const EXPECTED = new Set(["asyncapi-latest-version"]);

const [path] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"));
for (const { severity, code, path: place, message } of diagnostics) {
  if (!EXPECTED.has(code)) console.log(`${SEVERITIES[severity]}: ${place.join(".")}: ${message} (${code})`);
}
if (!document || diagnostics.some(({ severity }) => severity === 0)) {
  console.log(`${path} is not valid for the AsyncAPI parser.`);
  process.exit(1);
}
const count = document.channels().all().length;
console.log(`${path} is valid for the AsyncAPI parser: ${count} channels, ${document.messages().all().length} messages.`);
