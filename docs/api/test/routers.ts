/**
 * The routes that the server's source adds to a router of axum, which cannot be asked for them.
 *
 * Read are the functions that give a `Router`, from the first one through those it calls.
 */

import { readdirSync } from "node:fs";
import { ROOT, read } from "./documents.ts";

/** A file of Rust. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** Which function. */
export interface Named {
  readonly file: string;
  readonly name: string;
}

/** A function that gives a router. */
interface RouterSource extends SourceFile {
  readonly name: string;
}

/** A function that gives a router, with its end at the margin, as rustfmt writes it. */
const FUNCTION = /^(?:pub(?:\([^)]*\))? )?fn (\w+)\([^{]*?\) -> (?:axum::)?Router\b.*?^\}$/gms;

/** What makes a method of a route in axum. `any` is for upgrades, which are asked for with GET. */
const METHODS = /\b(get|post|put|patch|delete|any)\(/g;

/** Every file of Rust in a folder. */
export function sources(folder: string): SourceFile[] {
  const names = readdirSync(new URL(folder, ROOT), { recursive: true, encoding: "utf8" });
  const paths = names.filter((name) => name.endsWith(".rs")).map((name) => folder + name);
  return paths.map((path) => ({ path, text: read(path) }));
}

/** The functions that make the router which `first` gives. */
export function routersOf(files: readonly SourceFile[], first: Named): RouterSource[] {
  const all = files.flatMap(({ path, text }) =>
    [...text.matchAll(FUNCTION)].map((match) => ({ path, name: match[1] ?? "", text: match[0] })),
  );
  const found: RouterSource[] = [];
  const waiting = all.filter(({ path, name }) => path === first.file && name === first.name);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found.includes(next)) continue;
    found.push(next);
    const here = next;
    waiting.push(...all.filter((other) => calls(here, other)));
  }
  return found;
}

/** Every `METHOD /path` of the router which `first` gives. */
export function routesOf(files: readonly SourceFile[], first: Named): string[] {
  return routersOf(files, first).flatMap(({ path, text }) => {
    const whole = files.find((file) => file.path === path)?.text ?? text;
    const added = text.split(".route(").slice(1);
    return added.flatMap((rest) => routes(whole, argumentsOf(rest)));
  });
}

/** Whether a function calls another: one beside it by its name, others by their module's too. */
function calls(one: RouterSource, other: RouterSource): boolean {
  const module = other.path.replace(/\.rs$/, "").split("/").at(-1);
  const name = one.path === other.path ? other.name : `${module}::${other.name}`;
  return one !== other && new RegExp(`\\b${name}\\(`).test(one.text);
}

function routes(source: string, [path = "", methods = ""]: readonly string[]): string[] {
  const named = [...methods.matchAll(METHODS)].map((match) => match[1] ?? "");
  if (named.length === 0) throw new Error(`.route(${path}, ${methods}) has no method`);
  const literal = pathOf(source, path.trim());
  return named.map((method) => `${method === "any" ? "GET" : method.toUpperCase()} ${literal}`);
}

/** The first argument, and the others, before the parenthesis that closes the one that was open. */
function argumentsOf(rest: string): [string, string] {
  let depth = 1;
  for (const [index, character] of Array.from(rest).entries()) {
    if (character === "(") depth += 1;
    if (character === ")") depth -= 1;
    if (depth > 0) continue;
    const [path = "", ...others] = Array.from(rest).slice(0, index).join("").split(",");
    return [path, others.join(",")];
  }
  throw new Error(`a parenthesis is not closed in .route(${rest.slice(0, 60)}`);
}

/** A path that is written there, or a constant of the same file. */
function pathOf(source: string, text: string): string {
  const constant = /^[A-Z_]+$/.test(text)
    ? new RegExp(`const ${text}: &str = ("[^"]*");`)
    : undefined;
  const written = constant === undefined ? text : constant.exec(source)?.[1];
  const literal = /^"([^"]*)"$/.exec(written ?? "")?.[1];
  if (literal === undefined)
    throw new Error(`.route(${text}: name the path, or a constant of the file`);
  return literal;
}
