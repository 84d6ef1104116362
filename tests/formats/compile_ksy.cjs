// formats/lcx.ksy -> tests/formats/lcx_kaitai.py. In a folder outside the repository:
//     npm install kaitai-struct-compiler@0.11 js-yaml@4
//     NODE_PATH=node_modules node REPOSITORY/tests/formats/compile_ksy.cjs
const { createHash } = require("crypto");
const { readFileSync, writeFileSync } = require("fs");
const { join } = require("path");
const compiler = require("kaitai-struct-compiler");
const yaml = require("js-yaml");

const source = readFileSync(join(__dirname, "..", "..", "formats", "lcx.ksy"));
const digest = createHash("sha256").update(source).digest("hex");
const head = `# SHA-256 of formats/lcx.ksy: ${digest}\n# ruff: noqa\n# fmt: off\n`;
compiler.compile("python", yaml.load(source.toString()), null, false).then((files) => {
  writeFileSync(join(__dirname, "lcx_kaitai.py"), head + files["lcx.py"]);
});
