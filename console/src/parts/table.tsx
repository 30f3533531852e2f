/** Tables with a caption; on a narrow screen each row is a card. */

import type { ComponentChildren, VNode } from "preact";

/** A column: its heading, and what stands in it for a row. */
export interface Column<Row> {
  readonly title: string;
  readonly of: (row: Row) => ComponentChildren;
  /** Numbers stand under each other by their last digit. */
  readonly kind?: "number" | "text" | "long" | "actions";
}

/** A table. Where there are no rows, say so with `Empty` instead. */
export function Table<Row>(props: {
  readonly caption: string;
  readonly columns: ReadonlyArray<Column<Row>>;
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string | number;
}): VNode {
  return (
    <div class="sheet">
      <table class="table">
        {/* The heading above says it to eyes already. */}
        <caption class="unseen">{props.caption}</caption>
        <thead>
          <tr>
            {props.columns.map((column) => (
              <th key={column.title} scope="col" class={column.kind ?? "text"}>
                {column.kind === "actions" ? (
                  <span class="unseen">{column.title}</span>
                ) : (
                  column.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.keyOf(row)}>
              {props.columns.map((column) => (
                <td key={column.title} class={column.kind ?? "text"} data-title={column.title}>
                  {column.of(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
