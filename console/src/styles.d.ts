/** Style sheets are gathered into app.css by the bundler; to TypeScript they are nothing. */
declare module "*.css";
