/** For the type checker: a site has Mediabunny in its folder `media`. */
declare module "*/mediabunny.min.mjs" {
  export * from "mediabunny";
}
