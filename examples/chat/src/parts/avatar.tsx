/** The first letter of a name in a circle. Decoration: the name stands beside it. */

export function Avatar({ name }: { readonly name: string }) {
  return (
    <span class="avatar" aria-hidden="true">
      {[...name][0]?.toUpperCase() ?? ""}
    </span>
  );
}
