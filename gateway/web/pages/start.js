<script type="module" src="/assets/player.js"></script>
