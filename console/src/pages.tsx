/** Which pages there are, in the order of the menu. */

import type { VNode } from "preact";
import { ClientPage } from "./pages/client.tsx";
import { ConfigurationPage } from "./pages/configuration.tsx";
import { DeadLetterPage } from "./pages/dead-letter.tsx";
import { DeadLettersPage } from "./pages/dead-letters.tsx";
import { DisconnectsPage } from "./pages/disconnects.tsx";
import { ErrorsPage } from "./pages/errors.tsx";
import { GroupPage } from "./pages/group.tsx";
import { GroupsPage } from "./pages/groups.tsx";
import { MessagesPage } from "./pages/messages.tsx";
import { NodePage } from "./pages/node.tsx";
import { NotFoundPage } from "./pages/not-found.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { ScheduledPage } from "./pages/scheduled.tsx";
import { SubscriptionsPage } from "./pages/subscriptions.tsx";
import { TopicPage } from "./pages/topic.tsx";
import { TopicsPage } from "./pages/topics.tsx";
import { UserPage } from "./pages/user.tsx";
import { UsersPage } from "./pages/users.tsx";
import type { Route } from "./route.ts";

/** What a page is shown with. */
export interface PageProps {
  readonly route: Route;
}

type ShowPage = (props: PageProps) => VNode;

interface Page {
  readonly name: string;
  readonly title: string;
  readonly Show: ShowPage;
  /** What is shown of one topic, user, …, if that is another page than the list. */
  readonly ShowOne?: ShowPage;
}

/** The pages of the menu. */
export const PAGE_GROUPS: ReadonlyArray<{
  readonly title: string;
  readonly pages: readonly Page[];
}> = [
  {
    title: "Now",
    pages: [
      { name: "overview", title: "Overview", Show: OverviewPage },
      { name: "client", title: "Try it", Show: ClientPage },
    ],
  },
  {
    title: "Messages",
    pages: [
      { name: "topics", title: "Topics", Show: TopicsPage, ShowOne: TopicPage },
      { name: "messages", title: "Message story", Show: MessagesPage },
      { name: "scheduled", title: "Scheduled", Show: ScheduledPage },
      {
        name: "dead-letters",
        title: "Dead letters",
        Show: DeadLettersPage,
        ShowOne: DeadLetterPage,
      },
    ],
  },
  {
    title: "Readers",
    pages: [
      { name: "users", title: "Users", Show: UsersPage, ShowOne: UserPage },
      { name: "subscriptions", title: "Subscriptions", Show: SubscriptionsPage },
      { name: "groups", title: "Groups", Show: GroupsPage, ShowOne: GroupPage },
      { name: "disconnects", title: "Disconnects", Show: DisconnectsPage },
    ],
  },
  {
    title: "Server",
    pages: [
      { name: "node", title: "Node", Show: NodePage },
      { name: "configuration", title: "Configuration", Show: ConfigurationPage },
      { name: "errors", title: "Error codes", Show: ErrorsPage },
    ],
  },
];

/** The page that an address means. */
export function pageOf(route: Route): { readonly title: string; readonly Show: ShowPage } {
  const page = PAGE_GROUPS.flatMap((group) => group.pages).find(({ name }) => name === route.page);
  if (page === undefined) return { title: "No such page", Show: NotFoundPage };
  const isOne = route.subject !== undefined && page.ShowOne !== undefined;
  return { title: page.title, Show: isOne && page.ShowOne ? page.ShowOne : page.Show };
}
